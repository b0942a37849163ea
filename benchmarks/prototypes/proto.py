import numpy as np, torch, time, sys, argparse, collections, scipy.sparse as sp_
import torch.nn as nn, torch.nn.functional as F
ap=argparse.ArgumentParser()
ap.add_argument('--off',default='');ap.add_argument('--epochs',type=int,default=8);ap.add_argument('--ind',type=int,default=0)
ap.add_argument('--id',type=int,default=32);ap.add_argument('--lr',type=float,default=4e-3);ap.add_argument('--wpow',type=float,default=0.5)
ap.add_argument('--drop',type=float,default=0.1);ap.add_argument('--goalp',type=float,default=0.5);ap.add_argument('--seed',type=int,default=0);ap.add_argument('--finalw',type=float,default=1.0)
ap.add_argument('--iddrop',type=float,default=0.2);ap.add_argument('--hide',type=float,default=0.1);ap.add_argument('--wd',type=float,default=1e-2);ap.add_argument('--H',type=int,default=64);ap.add_argument('--threads',type=int,default=2)
ap.add_argument('--prof',type=int,default=0);ap.add_argument('--rows',type=int,default=40960);ap.add_argument('--cap',type=float,default=4);ap.add_argument('--aux',type=float,default=0);ap.add_argument('--save',default='')
a=ap.parse_args(); off=set(a.off.split(','))
torch.manual_seed(a.seed);np.random.seed(a.seed);torch.set_num_threads(a.threads)
S='/tmp/rabbit-scratch/'
G=np.load(S+'graph.npz');V=np.load(S+'events.npz');emb=np.load(S+'emb.npy')
A=V['A'];src,dst,indptr=G['src'],G['dst'],G['indptr'];E=len(src);N=len(indptr)-1
u,e,tgt,pid,sp,fold,fin,final,depth,backs=A.T
stack,seen=V['stack'].astype(np.int64),V['seen'].astype(np.int64);hidden=V['hidden']
tr=sp<8
inv=hidden[u]|hidden[dst[e]]
if a.ind: tr=tr&~inv
# ---------- node & edge static features
indeg=np.bincount(dst,minlength=N);outdeg=np.diff(indptr)
Adj=sp_.csr_matrix((np.ones(E,np.float32),(src,dst)),(N,N)); Und=((Adj+Adj.T)>0).astype(np.float32)
pr=np.ones(N)/N
W=sp_.diags(1/np.maximum(outdeg,1))@Adj
for _ in range(40): pr=.15/N+.85*(W.T@pr)
cos=emb@emb.T
cn=np.asarray(Und[src].multiply(Und[dst]).sum(1)).ravel()
aa_=Und.copy(); d=np.asarray(Und.sum(1)).ravel(); aa_=Und@sp_.diags(1/np.log(2+d)); AA=np.asarray(aa_[src].multiply(Und[dst]).sum(1)).ravel()
und_d=d
coin=np.asarray(Adj.T.tocsr()[src].multiply(Adj.T.tocsr()[dst]).sum(1)).ravel() # common in-neighbours
mutual=np.asarray(Adj[dst,src]).ravel()
def setrank(x):
    r=np.zeros(E,np.float32)
    for q in range(N):
        s=slice(indptr[q],indptr[q+1]);n=s.stop-s.start
        if n: r[s]=np.argsort(np.argsort(-x[s],kind='stable'),kind='stable')/n
    return r
cosE=cos[src,dst]
c1,c2=G['c1'],G['c2']
node=np.stack([np.log1p(indeg),np.log1p(outdeg),np.log(pr*N),np.log1p(G['tl']),G['tlen']/20],1)
graphF=np.stack([np.log1p(indeg[dst]),np.log1p(outdeg[dst]),np.log(pr*N)[dst],mutual,np.log1p(cn),np.log1p(coin),AA/np.log(2+und_d[src]),cn/np.sqrt(und_d[src]*und_d[dst]+1),setrank(indeg[dst]),np.log1p(outdeg[src]),np.log1p(G['tl'])[dst],(c1[src]==c1[dst]),(c2[src]==c2[dst]),G['tlen'][dst]/20],1)
textF=np.stack([cosE,setrank(cosE)],1)
posF=np.concatenate([G['P'],G['rank']],1)
# ---------- transition stats per fold
base=tr&(final==0)
cntpair=collections.Counter(pid[tr].tolist())
wpair=np.array([1/cntpair[p]**a.wpow if p in cntpair else 0 for p in pid.tolist()]); 
NF=32
def stats(m):
    w=np.ones(len(e))
    c=np.bincount(e[m],minlength=E).astype(np.float64); 
    cu=np.bincount(src,weights=c,minlength=N); cv=np.bincount(dst,weights=c,minlength=N)
    expo=np.bincount(dst,weights=cu[src]/np.maximum(outdeg[src],1),minlength=N)   # expected clicks if uniform
    lift=(cv+2)/(expo+2)
    Z=np.bincount(src,weights=lift[dst],minlength=N)
    prior=lift[dst]/Z[src]
    p=(c+8*prior)/(cu[src]+8)
    m0=m&(depth==0); c0=np.bincount(e[m0],minlength=E); cu0=np.bincount(src,weights=c0,minlength=N)
    p0=(c0+8*p)/(cu0[src]+8)
    # distinct pairs clicking the edge: robust to giant pairs
    k=np.unique(e[m]*40000+pid[m]); cp=np.bincount(k//40000,minlength=E); cup=np.bincount(src,weights=cp,minlength=N)
    pp=(cp+8*prior)/(cup[src]+8)
    n=np.maximum(outdeg[src],1)
    return np.stack([np.log(p*n),np.log1p(c),np.log1p(cu[src]),np.log(lift[dst]),np.log1p(cv[dst]),np.log(p0/p),np.log(pp*n),np.log(prior*n)],1).astype(np.float32)
t0=time.time()
ST=np.stack([stats(base&(fold!=f)) for f in range(NF)]+[stats(base)]);  # NF+1,E,8
print('stats',ST.shape,time.time()-t0,flush=True)
def norm(x,ref=None):
    r=x.reshape(-1,x.shape[-1]); return ((x-r.mean(0))/(r.std(0)+1e-6)).astype(np.float32)
graphF,textF,posF,node=map(norm,(graphF,textF,posF,node)); ST=norm(ST)
parts=[graphF]
if 'text' not in off: parts.append(textF)
if 'pos' not in off: parts.append(posF)
static=torch.tensor(np.concatenate(parts,1)); STt=torch.tensor(ST); nST=ST.shape[-1]
nodeT=torch.tensor(node);embT=torch.tensor(emb);cosT=torch.tensor(cos.astype(np.float32))
adjT=torch.tensor(Adj.toarray()>0); dstT=torch.tensor(dst); 
# second order: per-click sparse counts of others' pairs in same context
use2='m2' not in off
prev=stack[:,-2]
if use2:
    t0=time.time()
    key=(prev+1)*N+u
    trg=np.flatnonzero(base); order=trg[np.argsort(key[trg],kind='stable')]; ks=key[order]
    lo=np.searchsorted(ks,key);hi=np.searchsorted(ks,key,side='right')
    two_n=np.zeros(len(e),np.float32); two_idx=[None]*len(e)
    for i in range(len(e)):
        if prev[i]<0 or lo[i]==hi[i]: continue
        o=order[lo[i]:hi[i]]; 
        if sp[i]<8: o=o[pid[o]!=pid[i]]
        if len(o)==0: continue
        j,c=np.unique(e[o],return_counts=True); two_idx[i]=(j-indptr[u[i]],c); two_n[i]=len(o)
    print('2nd order',time.time()-t0,(two_n[sp==9]>0).mean(),flush=True)
# BFS distance to goal (dist from candidate v to g), capped 5
Dm=None
from scipy.sparse.csgraph import shortest_path
Dm=np.minimum(np.nan_to_num(shortest_path(Adj,unweighted=True,method='D'),posinf=7),7).astype(np.int8); DmT=torch.tensor(Dm)
paths2=(Adj@Adj).toarray(); p2T=torch.tensor(np.log1p(paths2).astype(np.float32))
cinT=torch.tensor(np.log1p((Adj.T@Adj).toarray()).astype(np.float32))
c2T=torch.tensor(c2);c1T=torch.tensor(c1)
print('ready',time.time()-t0,flush=True)
H=a.H;D=64
nDyn=12;nGoal=12
class Net(nn.Module):
    def __init__(s):
        super().__init__()
        s.id=nn.Embedding(N,a.id); nn.init.normal_(s.id.weight,0,.1)
        s.tproj=nn.Linear(384,D,bias=False); s.nproj=nn.Linear(node.shape[1],16)
        d=(D if 'text' not in off else 0)+16+a.id+1
        s.key=nn.Sequential(nn.Linear(d,128),nn.GELU(),nn.Linear(128,D)); s.stepin=nn.Linear(d,96)
        s.skip=nn.Linear(d,D)
        s.gru=nn.GRU(96,96,batch_first=True)
        s.nogoal=nn.Parameter(torch.zeros(D)); s.goalp=nn.Linear(d,D)
        s.q=nn.Sequential(nn.Linear(96+d+D,128),nn.GELU(),nn.Linear(128,4*D))
        F_=static.shape[1]+(nST+1 if 'stat' not in off else 0)+(3 if use2 else 0)+(nDyn if 'hist' not in off else 0)+(nGoal if a.goalp>0 else 0)+4
        s.kin=nn.Linear(D,H);s.qin=nn.Linear(4*D,H);s.f1=nn.Linear(F_,H);s.mod=nn.Linear(4*D,H)
        s.f2=nn.Sequential(nn.Linear(H,H),nn.GELU(),nn.Linear(H,1)); s.drop=nn.Dropout(a.drop); s.auxq=nn.Linear(96+d,D); s.auxk=nn.Linear(d,D)
    def nodes(s,hide):
        idv=s.id.weight*(~hide).float()[:,None]
        p=[s.nproj(nodeT),idv,hide.float()[:,None]]
        if 'text' not in off: p.insert(0,s.tproj(embT)*4)
        return torch.cat(p,1)
    def forward(s,b,train):
        hide=b['hide']; x=s.nodes(hide); K=s.key(x)+s.skip(x)
        cand,src_,mask=b['cand'],b['u'],b['mask']
        st=b['stack'] # B,P right aligned -1 pad
        B,P=st.shape; Kc=cand.shape[1]
        if 'hist' in off: hstate=torch.zeros(B,96)
        else:
            xs=s.stepin(x[st.clamp(min=0)])*(st>=0)[...,None]
            # right aligned padding: zero inputs first; fine
            hstate=s.gru(xs)[0][:,-1]
        g=b['goal']; gk=torch.where((g>=0)[:,None],s.goalp(x[g.clamp(min=0)]),s.nogoal)
        q=s.drop(s.q(torch.cat([hstate,x[src_],gk],1)))
        if train and a.aux>0: s.aux=s.auxq(torch.cat([hstate,x[src_]],1))@s.auxk(x).T/4
        kc=K[cand] # B,K,D
        dots=torch.einsum('bkd,bhd->bkh',kc,q.view(B,4,D))/8
        f=[static[b['eidx']]]
        if 'stat' not in off:
            eh=hide[cand]|hide[src_][:,None]
            stt=STt[b['fold'][:,None],b['eidx']]*(~eh)[...,None]
            f+= [stt,eh.float()[...,None]]
            if use2: f.append(b['two']*(~eh)[...,None])
        elif use2: f.append(b['two'])
        if 'hist' not in off:
            pm=(st>=0).float()
            C=cosT[st.clamp(min=0)[:,:,None],cand[:,None,:]]*pm[...,None]  # B,P,K
            A1=adjT[st.clamp(min=0)[:,:,None],cand[:,None,:]].float()*pm[...,None]
            se=b['seen']; same=(se[:,:,None]==cand[:,None,:]).float()
            instack=(st[:,:,None]==cand[:,None,:]).float()
            n=pm.sum(1,keepdim=True)
            prev=C[:,-2] if P>1 else C[:,-1]*0
            start=cosT[b['start'][:,None],cand]
            f.append(torch.stack([prev,C[:,-3],C.max(1)[0],C.sum(1)/n,start,A1[:,-2],A1.sum(1)/n,same.amax(1),instack.amax(1),same[:,-2],torch.log(n).expand(-1,Kc),(b['backs'].clamp(max=5).float()/3)[:,None].expand(-1,Kc)],-1))
        if a.goalp>0:
            has=(g>=0).float()[:,None]; gg=g.clamp(min=0)[:,None].expand(-1,Kc)
            dd=DmT[cand,gg].long()
            gf=torch.stack([cosT[cand,gg]*3,adjT[cand,gg].float(),adjT[gg,cand].float(),(cand==gg).float(),(dd<=2).float(),(dd<=3).float(),dd.float()/3,p2T[cand,gg],cinT[cand,gg],(c1T[cand]==c1T[gg]).float(),(c2T[cand]==c2T[gg]).float(),torch.ones_like(gg).float()],-1)*has[...,None]
            f.append(gf)
        f.append(dots)
        z=self_f1=s.f1(torch.cat(f,-1))+s.kin(kc)+s.qin(q)[:,None]
        z=F.gelu(z)*(1+s.mod(q)[:,None])
        sc=s.f2(z).squeeze(-1)+dots[...,0]
        return sc.masked_fill(~mask,-1e9)
net=Net(); print('params',sum(p.numel() for p in net.parameters()),'non-id',sum(p.numel() for n,p in net.named_parameters() if n!='id.weight'))
T=lambda x: torch.as_tensor(x)
hidT=torch.tensor(hidden)
def batch(I,train,goal):
    n=outdeg[u[I]];K=n.max()
    ei=np.minimum(indptr[u[I]][:,None]+np.arange(K),E-1); mask=np.arange(K)[None]<n[:,None]; ei=np.where(mask,ei,indptr[u[I]][:,None])
    b=dict(eidx=T(ei),cand=dstT[ei],u=T(u[I]),mask=T(mask),stack=T(stack[I]),seen=T(seen[I]),start=T(V['start'][I]),backs=T(backs[I]),y=T(e[I]-indptr[u[I]]))
    b['fold']=T(np.where((sp[I]<8),fold[I],NF)) 
    b['goal']=T(np.where(goal,tgt[I],-1))
    if train:
        h=torch.rand(N)<a.hide*torch.rand(1)*2
        if a.ind: h=h|hidT
        if np.random.rand()<.05: h=torch.ones(N,dtype=torch.bool)
        b['hide']=h
    else: b['hide']=hidT if a.ind else torch.zeros(N,dtype=torch.bool)
    if use2:
        two=np.zeros((len(I),K,3),np.float32)
        for r,i in enumerate(I):
            if two_idx[i] is not None:
                j,c=two_idx[i]; nn_=two_n[i]
                two[r,:,2]=np.log1p(nn_)/3
                two[r,j,0]=np.log1p(c); two[r,j,1]=c/(nn_+3)*3
        b['two']=T(two)
    return b
def batches(I,rng=None,rows=a.rows):
    n=outdeg[u[I]]
    o=np.argsort(n+(rng.random(len(I))*6 if rng is not None else 0),kind='stable');I=I[o];n=n[o]
    out=[];s=0
    while s<len(I):
        # K ~ max grows
        k=s+1
        step=max(8,rows//max(1,n[s])); k=min(len(I),s+step)
        while (k-s)*n[k-1]>rows*1.3 and k-s>8: k=s+(k-s)*9//10
        out.append(I[s:k]);s=k
    if rng is not None: rng.shuffle(out)
    return out
VIDX=np.flatnonzero(sp==8);TIDX=np.flatnonzero(sp==9)
@torch.no_grad()
def score(I,goal,net=None):
    net.eval();rr=np.zeros(len(I));nl=np.zeros(len(I));tp=np.zeros(len(I));pos={i:k for k,i in enumerate(I)}
    for J in batches(I,None,32768):
        b=batch(J,False,np.full(len(J),goal)); s=net(b,False); y=b['y'][:,None]; sy=s.gather(1,y)
        r=((s>sy).sum(1)); k=[pos[i] for i in J]
        rr[k]=1/(1+r.numpy());tp[k]=(r==0).numpy();nl[k]=-F.log_softmax(s,1).gather(1,y)[:,0].numpy()
    net.train();return rr,tp,nl
def rep(I,goal,net,nm):
    rr,tp,nl=score(I,goal,net); f,fl,iv=fin[I]==1,final[I]==1,inv[I]
    d={}
    d['fin']=rr[f&~fl].mean();d['unf']=rr[~f].mean();d['fin1']=tp[f&~fl].mean();d['nll']=nl[f&~fl].mean()
    d['ind']=rr[iv&~fl].mean()
    if goal: d['finF']=rr[f].mean()
    print(nm,'goal' if goal else 'free',{k:round(float(v),4) for k,v in d.items()},flush=True); return d
opt=torch.optim.AdamW(net.parameters(),lr=a.lr,weight_decay=a.wd)
I=np.flatnonzero(tr); I=I[outdeg[u[I]]>1]
if a.goalp==0: I=I[final[I]==0]
wt=wpair*(1.0); 
rng=np.random.default_rng(a.seed)
npair=np.bincount(pid[I],minlength=pid.max()+1)[pid[I]]
keep=np.minimum(1,(a.cap/npair)**.5)
draw=lambda: I[rng.random(len(I))<keep]
tot=sum(len(batches(draw(),rng)) for _ in range(2))*a.epochs//2;step=0;print('steps',tot)
sched=torch.optim.lr_scheduler.OneCycleLR(opt,a.lr,total_steps=tot+50,pct_start=.1)
avg={k:v.clone() for k,v in net.state_dict().items()}
wm=wt[I].mean()
if a.prof:
    from torch.profiler import profile,ProfilerActivity
    bs=batches(draw(),rng)[:12]
    def one(J):
        goal=np.random.rand(len(J))<a.goalp
        b=batch(J,True,goal); s=net(b,True); l=F.cross_entropy(s,b['y']); opt.zero_grad();l.backward();opt.step()
    one(bs[0]);t0=time.time();[batch(J,True,np.zeros(len(J),bool)) for J in bs];print('batch',(time.time()-t0)/12)
    t0=time.time()
    with profile(activities=[ProfilerActivity.CPU]) as p: [one(J) for J in bs]
    print('step',(time.time()-t0)/12,sum(len(b) for b in bs)); print(p.key_averages().table(sort_by='self_cpu_time_total',row_limit=25,max_name_column_width=40)); sys.exit()
for ep in range(a.epochs):
    t0=time.time();ls=0;nb=0
    for J in batches(draw(),rng):
        goal=np.random.rand(len(J))<a.goalp
        w=torch.ones(len(J))
        if a.goalp>0: w=w*T(np.where(~goal&(final[J]==1),0.,1.).astype(np.float32))
        b=batch(J,True,goal); s=net(b,True); l=(F.cross_entropy(s,b['y'],reduction='none')*w).sum()/(60 if False else len(J))
        l=l+(a.aux*F.cross_entropy(net.aux,T(tgt[J])) if a.aux>0 else 0);opt.zero_grad();l.backward();nn.utils.clip_grad_norm_(net.parameters(),1.);opt.step();sched.step() if step<tot+49 else None;step+=1
        ls+=l.item();nb+=1
    print('ep',ep,'loss',round(ls/nb,4),'t',round(time.time()-t0,1),flush=True)
    rep(VIDX,False,net,'val')
    if a.goalp>0 and ep==a.epochs-1: rep(VIDX,True,net,'val')
rep(TIDX,False,net,'test')
if a.goalp>0: rep(TIDX,True,net,'test')
if a.save: np.savez(a.save,**{k:v.numpy() for k,v in net.state_dict().items()})
